//! Trouble with the database and the cache that an application needs.

use std::time::Duration;

use anyhow::Result;

use super::super::engine::docker;
use super::super::stack::{Service, Stack};
use super::{Fault, app};
use crate::support::until;

/// How an application that is shown a database of its own reaches the lab's.
pub(super) const DATABASE_URL: &str = "postgres://shop:not-a-secret@postgres:5432/shop";

fn start_postgres(stack: &mut Stack) -> Result<()> {
    let postgres = Service::new("postgres", "postgres")
        .env("POSTGRES_USER", "shop")
        .env("POSTGRES_PASSWORD", "not-a-secret")
        .env("POSTGRES_DB", "shop");
    stack.start(postgres)?;
    // Whoever asks before that makes it say that it is starting, which is another story.
    until("the database is ready", MADE_WITHIN, || {
        let said = stack.log("postgres");
        anyhow::ensure!(said.contains("ready to accept connections"), "it says {said}");
        Ok(())
    })
}

/// The application with its data services, to which it logs in as this role.
fn shop(role: &str) -> Service {
    app()
        .env("DATABASE_URL", &format!("postgres://{role}:not-a-secret@postgres:5432/shop"))
        .env("REDIS_URL", "redis://redis:6379")
        .env("DEEP_HEALTH", "1")
        .asks_itself()
        .needs(&["postgres", "redis"])
}

pub(super) fn start_data_services(stack: &mut Stack) -> Result<()> {
    start_postgres(stack)?;
    stack.start(Service::new("redis", "redis"))?;
    stack.start(shop("shop").env("DATABASE_PATIENCE_S", "30"))
}

/// The database is stopped while the application needs it.
pub(crate) const DATABASE_STOPPED: Fault = Fault {
    stage: start_data_services,
    judge: ("app", "/orders"),
    inject: |stack| docker(&["stop", &stack.name("postgres")]).map(drop),
    futile: Some(|stack| docker(&["restart", &stack.name("app")]).map(drop)),
    cure: |stack| docker(&["start", &stack.name("postgres")]).map(drop),
};

/// The database is stopped, and the application gets over that only by a restart.
pub(crate) const DEPENDENT_GAVE_UP: Fault = Fault {
    stage: start_data_services,
    judge: ("app", "/orders"),
    inject: |stack| {
        docker(&["stop", &stack.name("postgres")])?;
        stack.post("app", "/fault/unhealthy")
    },
    futile: Some(|stack| docker(&["start", &stack.name("postgres")]).map(drop)),
    cure: |stack| docker(&["restart", &stack.name("app")]).map(drop),
};

/// The cache hangs; only the application says so, and restarting that is no help.
pub(crate) const CACHE_FROZEN: Fault = Fault {
    stage: start_data_services,
    judge: ("app", "/cache"),
    inject: |stack| stack.signal_from_host("redis", "STOP"),
    futile: Some(|stack| docker(&["restart", &stack.name("app")]).map(drop)),
    cure: |stack| docker(&["restart", &stack.name("redis")]).map(drop),
};

/// The cache is stopped while the application needs it.
pub(crate) const CACHE_STOPPED: Fault = Fault {
    stage: start_data_services,
    judge: ("app", "/cache"),
    inject: |stack| docker(&["stop", &stack.name("redis")]).map(drop),
    futile: Some(|stack| docker(&["restart", &stack.name("app")]).map(drop)),
    cure: |stack| docker(&["start", &stack.name("redis")]).map(drop),
};

/// The database hangs: its first process stands still, and nobody gets a new session.
pub(crate) const DATABASE_FROZEN: Fault = Fault {
    stage: start_data_services,
    judge: ("app", "/orders"),
    inject: |stack| stack.signal_from_host("postgres", "STOP"),
    futile: Some(|stack| docker(&["restart", &stack.name("app")]).map(drop)),
    cure: |stack| docker(&["restart", &stack.name("postgres")]).map(drop),
};

/// Everything was started at once, and the application gave up on a database that was slower.
pub(crate) const START_ORDER: Fault = Fault {
    stage: |stack| {
        start_postgres(stack)?;
        stack.start(Service::new("redis", "redis"))?;
        until("the database answers", MADE_WITHIN, || ask_database(stack, "select 1"))?;
        stack.start(shop("shop").env("DATABASE_PATIENCE_S", "2"))
    },
    judge: ("app", "/orders"),
    inject: |stack| {
        let (app, postgres) = (stack.name("app"), stack.name("postgres"));
        docker(&["stop", &app, &postgres])?;
        docker(&["start", &app])?;
        until("the application gives up on the database", GIVES_UP_WITHIN, || {
            let said = stack.log("app");
            anyhow::ensure!(said.contains("going on without orders"), "it says {said}");
            Ok(())
        })?;
        docker(&["start", &postgres]).map(drop)
    },
    futile: Some(|stack| docker(&["restart", &stack.name("postgres")]).map(drop)),
    cure: |stack| docker(&["restart", &stack.name("app")]).map(drop),
};

/// A client leaks sessions, each in an open transaction, until nobody else gets one.
pub(crate) const CONNECTIONS_LEAKED: Fault = Fault {
    stage: |stack| {
        start_postgres(stack)?;
        stack.start(Service::new("redis", "redis"))?;
        // Some connections are reserved for superusers; no application should be one.
        let clerk = "create role clerk login password 'not-a-secret'; \
            grant usage, create on schema public to clerk";
        until("the database takes a role", MADE_WITHIN, || ask_database(stack, clerk))?;
        stack.start(shop("clerk"))
    },
    judge: ("app", "/orders"),
    inject: |stack| {
        let leak = "import psycopg2, time\nheld = []\nwhile True:\n  try:\n    \
            session = psycopg2.connect('host=127.0.0.1 user=clerk password=not-a-secret dbname=shop')\n    \
            session.cursor().execute('select 1')\n    held.append(session)\n  \
            except psycopg2.OperationalError:\n    time.sleep(0.1 if len(held) < 17 else 86400)\n";
        let name = stack.name("postgres");
        let line = ["exec", "--detach", &name, "/usr/bin/python3", "-c", leak];
        docker(&line).map(drop)
    },
    futile: Some(|stack| docker(&["restart", &stack.name("app")]).map(drop)),
    cure: end_idle_transactions,
};

/// Asks MySQL from within its container, in a session of its own as the user that is named.
const MYSQL_SESSION: &str = "import pymysql, sys, time\n\
    def session(user):\n  \
    return pymysql.connect(host='127.0.0.1', user=user, password='not-a-secret')\n";

/// A client of MySQL leaks sessions, each in an open transaction, until nobody else gets one.
pub(crate) const MYSQL_CONNECTIONS_LEAKED: Fault = Fault {
    stage: |stack| {
        let mysql = Service::new("mysql", "mysql")
            .env("MARIADB_ROOT_PASSWORD", "not-a-secret")
            .env("MARIADB_DATABASE", "shop")
            .env("MARIADB_USER", "shop")
            .env("MARIADB_PASSWORD", "not-a-secret")
            .env("MARIADB_MAX_CONNECTIONS", &MYSQL_CONNECTIONS.to_string());
        stack.start(mysql)?;
        let app = app().env("MYSQL_URL", "mysql://shop:not-a-secret@mysql:3306/shop");
        stack.start(app.env("DEEP_HEALTH", "1").asks_itself().needs(&["mysql"]))
    },
    judge: ("app", "/stock"),
    inject: |stack| {
        let leak = format!(
            "{MYSQL_SESSION}held = []\nwhile True:\n  try:\n    one = session('shop')\n    \
             one.cursor().execute('start transaction with consistent snapshot')\n    \
             held.append(one)\n  except pymysql.OperationalError:\n    \
             time.sleep(0.1 if len(held) < {MYSQL_CONNECTIONS} else 86400)\n"
        );
        let name = stack.name("mysql");
        let line = ["exec", "--detach", &name, "/usr/bin/python3", "-c", &leak];
        docker(&line).map(drop)
    },
    futile: Some(|stack| docker(&["restart", &stack.name("app")]).map(drop)),
    cure: |stack| {
        let end = format!(
            "{MYSQL_SESSION}root = session('root').cursor()\n\
             root.execute(\"select id from information_schema.processlist \
             where user = 'shop' and command = 'Sleep'\")\n\
             for row in root.fetchall():\n  root.execute(f'kill {{row[0]}}')\n"
        );
        docker(&["exec", &stack.name("mysql"), "/usr/bin/python3", "-c", &end]).map(drop)
    },
};

/// How many sessions the lab's MySQL has for who is no administrator.
const MYSQL_CONNECTIONS: u32 = 20;

/// The database runs and is on no network any more.
pub(crate) const NETWORK_LOST: Fault = Fault {
    stage: start_data_services,
    judge: ("app", "/orders"),
    inject: |stack| {
        docker(&["network", "disconnect", stack.network(), &stack.name("postgres")]).map(drop)
    },
    futile: Some(|stack| docker(&["restart", &stack.name("app")]).map(drop)),
    cure: |stack| {
        let name = stack.name("postgres");
        let line = ["network", "connect", "--alias", "postgres", stack.network(), &name];
        docker(&line).map(drop)
    },
};

/// Asks the lab's database from within its container, in a session of its own.
const SESSION: &str = "import psycopg2, sys, time\n\
    session = psycopg2.connect('host=127.0.0.1 user=shop password=not-a-secret dbname=shop')\n\
    session.cursor().execute(sys.argv[1])\n";

/// How long a database may take until it is made, on a busy machine.
const MADE_WITHIN: Duration = Duration::from_mins(1);
const GIVES_UP_WITHIN: Duration = Duration::from_secs(30);

/// Lets the database's owner say this.
fn ask_database(stack: &Stack, statement: &str) -> Result<()> {
    let said = format!("{SESSION}session.commit()");
    docker(&["exec", &stack.name("postgres"), "/usr/bin/python3", "-c", &said, statement]).map(drop)
}

fn end_idle_transactions(stack: &Stack) -> Result<()> {
    let end = "select pg_terminate_backend(pid) from pg_stat_activity \
        where state = 'idle in transaction'";
    ask_database(stack, end)
}

/// Somebody began a transaction, locked the orders, and went for lunch.
pub(crate) const LOCK_HELD: Fault = Fault {
    stage: start_data_services,
    judge: ("app", "/orders"),
    inject: |stack| {
        let lunch = format!("{SESSION}time.sleep(86400)");
        let name = stack.name("postgres");
        let line = ["exec", "--detach", &name, "/usr/bin/python3", "-c", &lunch];
        docker(&[&line[..], &["lock table orders"]].concat()).map(drop)
    },
    futile: Some(|stack| docker(&["restart", &stack.name("app")]).map(drop)),
    cure: end_idle_transactions,
};

/// The cache is full to its limit and may not evict anything: it refuses every write.
pub(crate) const CACHE_FULL: Fault = Fault {
    stage: start_data_services,
    judge: ("app", "/cache"),
    inject: |stack| {
        let name = stack.name("redis");
        let ask = |words: &[&str]| docker(&[&["exec", &name, "redis-cli"], words].concat());
        // As much as a cache of some use holds, so that a step of a quarter is some room. Filled
        // to a bit more: what the filler itself took is free again when it is gone.
        ask(&["CONFIG", "SET", "maxmemory", "8700kb"])?;
        ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])?;
        let block = "x".repeat(16 * 1024);
        ask(&["-r", "1000", "RPUSH", "jobs", &block])?;
        ask(&["CONFIG", "SET", "maxmemory", "8mb"]).map(drop)
    },
    futile: Some(|stack| docker(&["restart", &stack.name("app")]).map(drop)),
    cure: |stack| {
        let name = stack.name("redis");
        docker(&["exec", &name, "redis-cli", "CONFIG", "SET", "maxmemory", "10mb"]).map(drop)
    },
};
