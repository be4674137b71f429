# shellcheck shell=bash
# One program, one fault an argument.
install golang-go curl || return
cd "$work" || return
cat >main.go <<'GO'
package main

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

type user struct{ name string }
type bad struct{}

func (bad) Open(string) (driver.Conn, error) { return nil, driver.ErrBadConn }

func deeper(n int) int { return deeper(n+1) + 1 }

func serve(addr string, h http.HandlerFunc) {
	go func() {
		if err := http.ListenAndServe(addr, h); err != nil {
			log.Fatal("listen: ", err)
		}
	}()
	time.Sleep(3 * time.Second)
}

func main() {
	var u *user
	var m map[string]int
	three, _ := strconv.Atoi("3")
	list := make([]int, three)
	switch os.Args[1] {
	case "nil":
		fmt.Println(u.name)
	case "map":
		m["a"] = 1
	case "index":
		fmt.Println(list[three+2])
	case "slice":
		fmt.Println(list[:three+2])
	case "divide":
		fmt.Println(1 / (three - 3))
	case "assert":
		var any interface{} = "text"
		fmt.Println(any.(int))
	case "asleep":
		<-make(chan int)
	case "race":
		m = map[string]int{}
		for i := 0; i < 8; i++ {
			go func() {
				for {
					m["a"]++
				}
			}()
		}
		time.Sleep(5 * time.Second)
	case "memory":
		var kept [][]byte
		for {
			kept = append(kept, make([]byte, 1<<28))
		}
	case "stack":
		deeper(1)
	case "closed":
		c := make(chan int)
		close(c)
		c <- 1
	case "twice":
		c := make(chan int)
		close(c)
		close(c)
	case "group":
		var g sync.WaitGroup
		g.Done()
	case "unlock":
		var l sync.Mutex
		l.Unlock()
	case "threads":
		for i := 0; i < 100; i++ {
			go func() {
				r, w, _ := os.Pipe()
				_ = w
				f, _ := os.Open("/dev/tty")
				_ = f
				syscallRead(r)
			}()
		}
		time.Sleep(5 * time.Second)
	case "handler":
		serve(os.Args[2], func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, u.name) })
	case "header":
		serve(os.Args[2], func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "no", 500)
			w.WriteHeader(200)
		})
	case "closing":
		s := http.Server{Addr: os.Args[2]}
		go func() { time.Sleep(time.Second / 2); s.Close() }()
		log.Fatal(s.ListenAndServe())
	case "sql":
		sql.Register("bad", bad{})
		db, _ := sql.Open("bad", "")
		log.Println("query:", db.Ping())
		db.Close()
		log.Println("query:", db.Ping())
	case "custom":
		panic(errors.New("settings are missing"))
	}
}
GO
cat >thread.go <<'GO'
package main

import (
	"os"
	"syscall"
)

// Keeps a thread of the system for each caller.
func syscallRead(f *os.File) { syscall.Read(int(f.Fd()), make([]byte, 1)) }
GO
export GOCACHE=$work/cache GO111MODULE=off CGO_ENABLED=0
go build -o app main.go thread.go || return
port=$(free_port)
asked() {
  ./app "$1" "127.0.0.1:$port" &
  sleep 1
  curl -s -m 2 "http://127.0.0.1:$port/"
  wait
}
provoke go-nil-pointer ./app nil
provoke go-nil-map ./app map
for fault in index slice divide; do provoke go-out-of-range ./app $fault; done
provoke go-type-assertion ./app assert
provoke go-deadlock ./app asleep
provoke go-map-race ./app race
little_memory() { (ulimit -v 1500000; ./app memory); }
provoke go-out-of-memory little_memory
provoke go-stack-overflow ./app stack
for fault in closed twice group unlock; do provoke go-sync-misused ./app $fault; done
few_threads() { setpriv --reuid 65533 --regid 65533 --clear-groups bash -c 'ulimit -u 12; ./app threads'; }
provoke go-threads-refused few_threads
provoke go-handler-panic asked handler
provoke go-header-twice asked header
provoke go-database-connection-lost ./app sql
provoke go-server-closed ./app closing "127.0.0.1:$port"
provoke go-panic ./app custom
