# Makes a role for each program, and its databases, when PostgreSQL starts on an empty volume.
create() {
  role=$1 file=$2
  shift 2
  {
    printf "CREATE ROLE %s LOGIN PASSWORD '%s';\n" "$role" "$(cat "/run/secrets/$file")"
    for database in "$@"; do
      printf 'CREATE DATABASE %s OWNER %s;\nREVOKE CONNECT ON DATABASE %s FROM PUBLIC;\n' "$database" "$role" "$database"
    done
  } | psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER"
}

create airflow airflow_database airflow
create mlflow mlflow_database mlflow mlflow_accounts
