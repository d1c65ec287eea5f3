#!/usr/bin/env bash
# Start the Prefect server, on this machine only.
#
# PREFECT_SERVER_API_HOST, PREFECT_SERVER_API_PORT      where it listens (127.0.0.1, 4200)
# PREFECT_SERVER_DATABASE_CONNECTION_URL                where runs are stored; for PostgreSQL
#                                                       postgresql+asyncpg://user:password@host/db
set -euo pipefail

host=${PREFECT_SERVER_API_HOST:-127.0.0.1}
port=${PREFECT_SERVER_API_PORT:-4200}
if (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then
    echo "error: PREFECT_SERVER_API_PORT is $port, which is taken on $host; set it to a free port" >&2
    exit 2
fi
echo "export PREFECT_API_URL=http://$host:$port/api"
# Without it the pages use port 4200, even if the server has another port.
export PREFECT_SERVER_UI_API_URL=${PREFECT_SERVER_UI_API_URL:-http://$host:$port/api}
# No usage data is sent, neither by the server nor by this command.
export PREFECT_SERVER_ANALYTICS_ENABLED=${PREFECT_SERVER_ANALYTICS_ENABLED:-false}
export DO_NOT_TRACK=${DO_NOT_TRACK:-1}
# Task runs are recorded in batches, a second late: one by one is half of all the server does.
export PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE=${PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE:-100}
export PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL=${PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL:-1}
exec prefect server start --host "$host" --port "$port"
