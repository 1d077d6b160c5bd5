"""What people are told: in the portal always, by e-mail unless they turned that kind off; never one about security."""
