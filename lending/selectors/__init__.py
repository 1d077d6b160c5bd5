"""Every read of this app, by subject."""
