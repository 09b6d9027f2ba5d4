#!/bin/sh
# Makes the passwords and keys of compose.yaml that are missing in docker/secrets, and changes no existing one.
# Only the owner enters the folder. The files are readable there, since each container has a user of its own.
set -eu
umask 077
folder=$(dirname "$0")/secrets
mkdir -p "$folder"
chmod 700 "$folder"

random() {
  head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'
}

# A file appears whole.
write() {
  cat > "$folder/.$1"
  chmod 444 "$folder/.$1"
  mv -f "$folder/.$1" "$folder/$1"
}

for name in airflow_database api flask jwt mlflow_database mlflow_writer postgres redis_password s3; do
  test -s "$folder/$name" || random | tr -d '=' | write "$name"
done
# Airflow wants the padding.
test -s "$folder/fernet" || random | write fernet

# These only repeat what the files above have.
printf 'postgresql+psycopg2://airflow:%s@postgres/airflow' "$(cat "$folder/airflow_database")" | write airflow_database_address
printf 'redis://:%s@redis:6379/0' "$(cat "$folder/redis_password")" | write broker_address
printf 'redis://:%s@redis:6379/1' "$(cat "$folder/redis_password")" | write results_address
printf 'requirepass %s\n' "$(cat "$folder/redis_password")" | write redis
printf '[default]\naws_access_key_id = brats\naws_secret_access_key = %s\n' "$(cat "$folder/s3")" | write aws_credentials
