#!/usr/bin/env bash
# Deploy everything in deployments/prefect.yaml, then run what is scheduled. Runs that terminated
# unexpectedly together with the worker are marked by deployments/automations.yaml.
#
# PREFECT_API_URL           the Prefect server
# LLMPSO_WORK_POOL          where runs wait         (llmpso)
# PREFECT_WORKER_WEBSERVER_HOST, PREFECT_WORKER_WEBSERVER_PORT
#                           where the worker answers health checks    (127.0.0.1, 8080)
set -euo pipefail
cd "$(dirname "$0")/.."

: "${PREFECT_API_URL:?is not set; name the Prefect server, for example http://127.0.0.1:4200/api}"
export PREFECT_WORKER_WEBSERVER_HOST=${PREFECT_WORKER_WEBSERVER_HOST:-127.0.0.1}
# No usage data is sent.
export DO_NOT_TRACK=${DO_NOT_TRACK:-1}
pool=${LLMPSO_WORK_POOL:-llmpso}
# What is set on the pool, such as keys from blocks, stays.
prefect work-pool inspect "$pool" >/dev/null 2>&1 || prefect work-pool create "$pool" --type process
prefect --no-prompt deploy --prefect-file deployments/prefect.yaml --all
prefect automation inspect llmpso-resume >/dev/null 2>&1 ||
    prefect automation create --from-file deployments/automations.yaml
exec prefect worker start --pool "$pool" --type process --with-healthcheck
