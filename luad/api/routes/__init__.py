"""The functions behind the routes of the API."""
