"""Every write of this app, by subject; one function per business action."""
