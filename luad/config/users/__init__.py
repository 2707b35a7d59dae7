"""User files and user bodies: documents to users and problems."""
