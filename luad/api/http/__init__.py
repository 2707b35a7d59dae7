"""The HTTP of the API: input, problems, ETags, paging, idempotency, streams."""
