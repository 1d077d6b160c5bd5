"""Pages: permission, form, service, message, redirect. `applicant` for people, `officer` for staff."""
