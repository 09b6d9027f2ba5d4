"""The only modules that know the outside: files, tracking, registry, expectations."""
