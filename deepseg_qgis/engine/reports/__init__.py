"""What people look at: reports and pictures."""
