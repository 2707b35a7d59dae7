"""One module for each page: what it asks the API, and the values of its template."""
