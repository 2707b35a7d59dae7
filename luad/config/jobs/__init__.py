"""Job files and job bodies: documents to jobs and problems."""
