#!/usr/bin/env bash
# Makes a role and a database each for Prefect, MLflow and Anneal's records; the postgres image runs it once, on an empty volume.
set -euo pipefail
for name in prefect mlflow anneal; do
  variable="${name^^}_PASSWORD"
  psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres -v name="$name" -v password="${!variable:?is not set}" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
