"""Everything outside the package: NIfTI, tables, model files, MLflow, sources of cohorts, Great Expectations."""
