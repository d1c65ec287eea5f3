#!/usr/bin/env bash
# Start the MLflow tracking server, on this machine only.
#
# MLFLOW_HOST, MLFLOW_PORT                where it listens      (127.0.0.1, 5000)
# MLFLOW_BACKEND_STORE_URI                where runs are stored (sqlite:///mlflow.db)
# MLFLOW_ARTIFACTS_DESTINATION            where models are stored (./mlartifacts)
# MLFLOW_SERVER_ALLOWED_HOSTS             allowed host names    (those of this machine)
#
# For PostgreSQL and an S3-compatible store, with pip install '.[all,servers]':
#   MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://user:password@host:5432/mlflow
#   MLFLOW_ARTIFACTS_DESTINATION=s3://bucket/path
#   MLFLOW_S3_ENDPOINT_URL=…  AWS_ACCESS_KEY_ID=…  AWS_SECRET_ACCESS_KEY=…
set -euo pipefail

host=${MLFLOW_HOST:-127.0.0.1}
port=${MLFLOW_PORT:-5000}
if (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then
    echo "error: MLFLOW_PORT is $port, which is taken on $host; set it to a free port" >&2
    exit 2
fi
# Off: else nine processes with 2 GB would run that evaluate replies of GenAI applications.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=${MLFLOW_SERVER_ENABLE_JOB_EXECUTION:-false}
# No usage data is sent, neither by the server nor by its pages.
export MLFLOW_DISABLE_TELEMETRY=${MLFLOW_DISABLE_TELEMETRY:-true}
echo "export MLFLOW_TRACKING_URI=http://$host:$port"
store=${MLFLOW_BACKEND_STORE_URI:-sqlite:///mlflow.db}
# A new database is made as our commands make it: MLflow's own takes six times as long to commit.
if [[ $store == sqlite:* ]]; then
    python -P -c 'import sys; from tasks.store.new_store import make_store as make; make(sys.argv[1])' \
        "$store"
fi
exec mlflow server --host "$host" --port "$port" \
    --backend-store-uri "$store" \
    --artifacts-destination "${MLFLOW_ARTIFACTS_DESTINATION:-./mlartifacts}"
