# Shared by the scripts beside it, which source it: where things lie, and whether they run.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
run_folder="${RUN_FOLDER:-$repository/.run}" # another folder is another pair of servers
env_file="$run_folder/env"
kafka_folder="$repository/infra/kafka"
jars="$kafka_folder/target/jars"

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# docker or local. INFRA=docker or INFRA=local decides; else docker where an engine answers.
infra_kind() {
  if [[ -n "${INFRA:-}" ]]; then
    [[ "$INFRA" == docker || "$INFRA" == local ]] || fail "INFRA is '$INFRA'; it may be docker or local"
    echo "$INFRA"
  elif docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
    echo docker
  else
    echo local
  fi
}

# A process id from .run/NAME.pid that is still the program we started: ids are used again by others.
running_pid() {
  local name=$1 pattern=$2 pid
  pid=$(cat "$run_folder/$name.pid" 2>/dev/null) || return 1
  [[ -n "$pid" && -r "/proc/$pid/cmdline" ]] || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -- "$pattern" || return 1
  echo "$pid"
}

redis_pid() { running_pid redis redis-server; }
kafka_pid() { running_pid kafka kafka.Kafka; }

stop_process() {
  local name=$1 pid=$2 patience_s=$3 waited=0
  kill -TERM "$pid" 2>/dev/null || true
  # Until it is gone, or dead and only not yet collected by its parent.
  while [[ -e "/proc/$pid" ]] && ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null; do
    if ((waited >= patience_s * 10)); then
      say "$name (pid $pid) did not end within $patience_s s: killed"
      kill -KILL "$pid" 2>/dev/null || true
      break
    fi
    sleep 0.1
    waited=$((waited + 1))
  done
}

# Kafka's jars, resolved once for each content of pom.xml.
resolve_jars() {
  local stamp
  stamp=$(sha256sum "$kafka_folder/pom.xml" | cut -d' ' -f1)
  [[ "$(cat "$jars/.stamp" 2>/dev/null)" == "$stamp" ]] && return
  command -v mvn >/dev/null || fail "no mvn, which fetches Kafka's jars; install Debian's package maven"
  say "Fetching Kafka's jars (45 MB, once) ..."
  rm -rf "$jars"
  mvn --quiet --batch-mode --file "$kafka_folder/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$jars" >&2
  echo "$stamp" >"$jars/.stamp"
}

check_java() {
  local major
  command -v java >/dev/null || fail "no java; install Debian's package default-jre-headless (Kafka 4 needs Java 17 or later)"
  major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
  ((${major:-0} >= 17)) || fail "java is version ${major:-unknown}; Kafka 4 needs 17 or later"
}
