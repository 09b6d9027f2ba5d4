"""The imperative shell: each stage reads, makes pure calls, writes, and reports one line."""
