"""Programs that show what the service is for."""
