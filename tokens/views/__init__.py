"""Views: permission, form, service, message, redirect."""
