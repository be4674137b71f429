# gRPC: a server that answers with the status the method asks for, and a client that logs it.
# shellcheck shell=bash disable=SC2154
install python3 python3-grpcio openssl

# Debian's grpcio belongs to Debian's Python.
python=/usr/bin/python3
cat >"$work"/server.py <<'PY'
import sys, time, grpc
from concurrent import futures

class Any(grpc.GenericRpcHandler):
    def service(self, details):
        name = details.method.rsplit("/", 1)[1]
        def answer(request, context):
            if name == "SLOW":
                time.sleep(3)
            if name == "LARGE":
                return bytes(6_000_000)
            if name == "THROWS":
                raise KeyError("price")
            context.abort(getattr(grpc.StatusCode, name), sys.argv[2] if len(sys.argv) > 2 else "as asked")
        if name == "NOTHING":
            return None
        return grpc.unary_unary_rpc_method_handler(answer)

server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Any()])
if server.add_insecure_port(sys.argv[1]) == 0:
    raise RuntimeError("no port")
server.start()
server.wait_for_termination()
PY
cat >"$work"/client.py <<'PY'
import sys, traceback, grpc
address, name = sys.argv[1:3]
credentials = grpc.ssl_channel_credentials()
secure = len(sys.argv) > 3
channel = grpc.secure_channel(address, credentials) if secure else grpc.insecure_channel(address)
call = channel.unary_unary("/shop.Cart/" + name)
try:
    call(b"", timeout=1)
except grpc.RpcError:
    traceback.print_exc()
PY
port=$(free_port)
export GRPC_VERBOSITY=error
"$python" "$work"/server.py "127.0.0.1:$port" >"$work"/server.log 2>&1 &
at_end "kill $!"
wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
call() { "$python" "$work"/client.py "127.0.0.1:$port" "$@"; }

provoke grpc-unavailable "$python" "$work"/client.py 127.0.0.1:1 SLOW
provoke grpc-unavailable "$python" "$work"/client.py app.invalid:50051 SLOW
provoke grpc-unavailable call UNAVAILABLE
provoke grpc-deadline-exceeded call SLOW
provoke grpc-unauthenticated call UNAUTHENTICATED
provoke grpc-permission-denied call PERMISSION_DENIED
provoke grpc-resource-exhausted call RESOURCE_EXHAUSTED
provoke grpc-unimplemented call NOTHING
provoke grpc-internal call INTERNAL
provoke grpc-internal call THROWS
provoke grpc-message-too-large call LARGE
provoke grpc-aborted call ABORTED
provoke grpc-wrong-protocol call SLOW tls
web() {
  local other
  other=$(free_port)
  "$python" -m http.server --bind 127.0.0.1 "$other" &>/dev/null &
  local server=$!
  wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$other"
  "$python" "$work"/client.py "127.0.0.1:$other" SLOW
  kill $server
}
provoke grpc-wrong-protocol web
