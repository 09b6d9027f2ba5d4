"""Where a cohort can come from: a folder, an archive, a DVC repository at a revision, S3; all behind one port."""
