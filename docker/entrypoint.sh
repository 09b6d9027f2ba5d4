#!/bin/sh
# Runs a command with secrets from files: a variable NAME__FILE sets NAME to the content of the file that it names.
set -eu
for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)__FILE=.*/\1/p'); do
  eval "file=\$${name}__FILE"
  if ! test -r "$file"; then
    echo "${name}__FILE is $file, which cannot be read: run \`make secrets\`" >&2
    exit 1
  fi
  export "$name=$(cat "$file")"
done
exec "$@"
