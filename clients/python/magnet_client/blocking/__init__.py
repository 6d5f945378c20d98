"""The blocking senders behind `Client`, one file a service."""
