"""Sources of a cohort: a folder, an archive, a DVC repository at a revision, S3; all with one interface."""
