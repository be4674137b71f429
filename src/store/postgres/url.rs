//! The address of a PostgreSQL database. Its password is given to the driver and shown nowhere.

use std::fmt;
use std::str::FromStr;

use ::url::Url;
use sqlx::postgres::PgConnectOptions;

/// What may stand behind the `?`. The driver would log what it does not know, value and all.
const PARAMETERS: [&str; 10] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "options",
];

/// A checked address.
#[derive(Clone)]
pub struct PostgresUrl {
    options: Box<PgConnectOptions>,
    shown: String,
    schema: Option<String>,
}

impl PostgresUrl {
    /// Reads `postgres://user:password@host:port/database?sslmode=...`. What is wrong is told
    /// without the address, since its password may stand anywhere in a mistyped one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = |why: &str| {
            format!("{why}; write it like `postgres://user:password@host:5432/database`")
        };
        let url = Url::parse(text)
            .map_err(|error| wrong(&format!("this is no address of a database: {error}")))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(wrong("this is no address of a PostgreSQL database"));
        }
        let unknown =
            url.query_pairs().map(|(key, _)| key).find(|key| !PARAMETERS.contains(&key.as_ref()));
        if let Some(unknown) = unknown {
            let known = PARAMETERS.join(", ");
            let unknown = selfheal_agents::model::clean(&unknown, 40);
            return Err(format!("there is no parameter `{unknown}`; there are {known}"));
        }
        let options = PgConnectOptions::from_str(text).map_err(|error| {
            // Of a parameter's value it says what is wrong with it, never of the password.
            wrong(&selfheal_agents::model::clean(&error.to_string(), 200))
        })?;
        let shown = shown(&options);
        Ok(Self { options: Box::new(options), shown, schema: None })
    }

    /// The same with all tables in a schema of this name, which holds no quotes and no blanks.
    #[must_use]
    pub fn within(&self, schema: &str) -> Self {
        Self { schema: Some(schema.to_owned()), ..self.clone() }
    }

    /// That schema, if it is not the server's own choice.
    pub(super) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    pub(super) fn options(&self) -> PgConnectOptions {
        let options = (*self.options).clone();
        match &self.schema {
            Some(schema) => options.options([("search_path", format!("\"{schema}\""))]),
            None => options,
        }
    }
}

fn shown(options: &PgConnectOptions) -> String {
    let place = options.get_socket().map_or_else(
        || format!("{}:{}", options.get_host(), options.get_port()),
        |socket| socket.display().to_string(),
    );
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    format!("postgres://{user}@{place}/{database}")
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)?;
        match &self.schema {
            Some(schema) => write!(f, " (schema {schema})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let url = PostgresUrl::parse("postgres://me:s3cret@db:5433/shop?sslmode=require").unwrap();
        assert_eq!(url.to_string(), "postgres://me@db:5433/shop");
        assert!(!format!("{url:?}").contains("s3cret"));
        let url = PostgresUrl::parse("postgresql://db/shop?user=me&password=s3cret").unwrap();
        assert_eq!(url.to_string(), "postgres://me@db:5432/shop");
    }

    #[test]
    fn what_is_wrong_with_an_address_is_told_without_its_password() {
        for (text, word) in [
            ("postgres//me:s3cret@db", "no address"),
            ("mysql://me:s3cret@db/x", "no address of a PostgreSQL"),
            ("postgres://me:s3cret@db:99999/x", "port"),
            ("postgres://me:s3cret@db/x?sslmod=require", "no parameter `sslmod`"),
            ("postgres://me:s3cret@db/x?sslmode=s3crit", "ssl_mode"),
        ] {
            let wrong = PostgresUrl::parse(text).unwrap_err();
            assert!(wrong.to_lowercase().contains(&word.to_lowercase()), "{text}: {wrong}");
            assert!(!wrong.contains("s3cret"), "{wrong}");
        }
    }
}
