"""The demonstration: embedded services, one supervisor, sample people, and pages that show how to sign in as them.

Nothing here runs in production: the pages answer 404 unless `DEMO` is set.
"""
