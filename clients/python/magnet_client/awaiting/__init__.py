"""The asyncio senders behind `AsyncClient`, one file a service."""
