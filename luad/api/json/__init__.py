"""The JSON and the text that the API answers with."""
