# shellcheck shell=bash
# The Erlang machine, alone and with Elixir.
install erlang-base elixir || return
cd "$work" || return
export HOME=$work ERL_CRASH_DUMP=$work/erl_crash.dump
provoke erlang-out-of-memory bash -c 'ulimit -v 3000000; erl -noshell -eval "F = fun(F, L) -> F(F, [lists:seq(1, 1000000) | L]) end, F(F, [])."'
provoke erlang-start-failed erl -noshell -eval 'application:start(kernel, permanent), exit(whereis(application_controller), kill), timer:sleep(2000).'
provoke erlang-start-failed erl -noshell -config absent
provoke erlang-system-limit erl +P 1024 -noshell -eval 'F = fun F(N) -> spawn(fun() -> timer:sleep(9000) end), F(N + 1) end, F(0).'
names() {
  erl -noshell -sname shop &
  sleep 3
  erl -noshell -sname shop -eval 'halt().'
  kill %1
}
provoke erlang-name-taken names
at_end epmd -kill
provoke elixir-process-crashed elixir -e 'defmodule Shop do
  use GenServer
  def init(x), do: {:ok, x}
  def handle_call(:boom, _, _), do: raise("boom")
end
{:ok, pid} = GenServer.start(Shop, 1)
try do GenServer.call(pid, :boom) catch _, _ -> 1 end
Process.sleep(500)'
provoke elixir-process-crashed elixir -e 'Task.start(fn -> :erlang.error(:badarg) end); Process.sleep(500)'
provoke elixir-call-timeout elixir -e 'defmodule Shop do
  use GenServer
  def init(x), do: {:ok, x}
  def handle_call(:slow, _, x) do
    Process.sleep(3000)
    {:reply, 1, x}
  end
end
{:ok, pid} = GenServer.start(Shop, 1)
GenServer.call(pid, :slow, 500)'
