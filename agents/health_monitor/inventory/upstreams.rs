//! The hosts that a proxy's configuration passes requests on to.
//!
//! Reads files that are mounted into a container anyway; what is not understood is left out,
//! and a name counts only where it is that of a container (`dependencies`), so a word that
//! only looks like a host does no harm. Bounded in what it answers.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

/// Hosts taken from one file.
const MOST_HOSTS: usize = 64;

/// `proxy_pass http://api:8080/;`, `fastcgi_pass php:9000;` (nginx,
/// <https://nginx.org/en/docs/http/ngx_http_proxy_module.html>).
static PASS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)\b(?:proxy|fastcgi|uwsgi|scgi|grpc)_pass\s+([^\s;]+)")
        .expect("the pattern is constant and tested")
});
/// `server api:8080 weight=5;` in an `upstream` of nginx, also on its line; a virtual host is
/// `server {`.
static MEMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)(?:^|\s)server\s+([\w.-]+)(?::\d+)?(?:\s+[\w=.-]+)*\s*;")
        .expect("the pattern is constant and tested")
});
/// `server web1 api:8080 check` of HAProxy
/// (<https://docs.haproxy.org/2.8/configuration.html#4.2-server>).
static SERVER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^\s*server\s+[\w.-]+[ \t]+(?:ipv[46]@)?([\w.-]+)(?::\d+)?(?:[ \t][^;{\n]*)?$")
        .expect("the pattern is constant and tested")
});
/// `reverse_proxy /api/* api:8080 api2:8080`, `php_fastcgi php:9000` and, in a block, `to api:8080`
/// of Caddy (<https://caddyserver.com/docs/caddyfile/directives/reverse_proxy>).
static REVERSE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^\s*(?:reverse_proxy|php_fastcgi|to)\s+([^{\n]+)")
        .expect("the pattern is constant and tested")
});
/// `ProxyPass "/api" "http://api:8080/"`, `BalancerMember http://api:8080` of Apache
/// (<https://httpd.apache.org/docs/2.4/mod/mod_proxy.html>).
static APACHE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?mi)^\s*(?:ProxyPass(?:Match)?\s+(?:\S+\s+)?|BalancerMember\s+)["']?(?:https?|h2c?|fcgi|scgi|uwsgi|ajp|wss?)://([\w.-]+)"#,
    )
    .expect("the pattern is constant and tested")
});
/// `url: "http://api:8080"` of Traefik's file provider
/// (<https://doc.traefik.io/traefik/routing/services/>), in YAML and TOML.
static URL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?m)^[\s-]*url\s*[:=]\s*["']?(?:https?|h2c)://([\w.-]+)"#)
        .expect("the pattern is constant and tested")
});

/// Every host that `text` names as one to pass requests on to, without ports.
pub(in crate::health_monitor) fn upstreams(text: &str) -> Vec<String> {
    let bare: Vec<&str> = text.lines().map(|line| line.split('#').next().unwrap_or(line)).collect();
    let text = bare.join("\n");
    let mut hosts = BTreeSet::new();
    for pattern in [&MEMBER, &SERVER, &APACHE] {
        hosts.extend(pattern.captures_iter(&text).map(|found| found[1].to_owned()));
    }
    // What stands in a variable only the proxy knows.
    let passed = PASS.captures_iter(&text).map(|found| found[1].to_owned());
    hosts.extend(passed.filter(|address| !address.contains('$')).map(|address| host(&address)));
    // In any other file `url` is anything: only beside Traefik's own words.
    if text.contains("loadBalancer") {
        hosts.extend(URL.captures_iter(&text).map(|found| found[1].to_owned()));
    }
    for found in REVERSE.captures_iter(&text) {
        let words = found[1].split_whitespace();
        hosts.extend(words.filter(|word| !word.starts_with(['/', '@', '*'])).map(host));
    }
    let is_other = |host: &String| {
        !host.is_empty() && !matches!(host.as_str(), "localhost" | "127.0.0.1" | "unix" | "0.0.0.0")
    };
    hosts.into_iter().filter(is_other).take(MOST_HOSTS).collect()
}

fn host(word: &str) -> String {
    let address = word.split_once("://").map_or(word, |(_, rest)| rest);
    address.split([':', '/']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_behind_each_proxy_are_read() {
        for (text, hosts) in [
            ("location / {\n  proxy_pass http://api:8080/v1;\n}", &["api"][..]),
            ("  fastcgi_pass php:9000;\n", &["php"]),
            (
                "upstream shop {\n  server web-1:80 weight=5;\n  server web-2 backup;\n}\nserver {\n  listen 80;\n}",
                &["web-1", "web-2"],
            ),
            ("location / { proxy_pass http://api; }", &["api"]),
            (
                "backend shop\n    server one web-1:80 check inter 2s\n    server two web-2:80\n",
                &["web-1", "web-2"],
            ),
            ("example.org {\n  reverse_proxy /api/* api:8080 http://api2:80\n}", &["api", "api2"]),
            ("example.org {\n  reverse_proxy api:8080 {\n    lb_policy first\n  }\n}", &["api"]),
            ("backend shop\n    server one web maxconn 30\n", &["web"]),
            ("upstream shop { server web-1; server web-2:80 backup; }", &["web-1", "web-2"]),
            ("example.org {\n  php_fastcgi php:9000\n}", &["php"]),
            ("example.org {\n  reverse_proxy {\n    to api:8080\n  }\n}", &["api"]),
            (
                "<VirtualHost *:80>\n  ProxyPass /till http://till:8080/ retry=0\n  \
                 ProxyPass \"/api\" \"http://api/\"\n  ProxyPassReverse / http://other/\n</VirtualHost>",
                &["api", "till"],
            ),
            ("<Location /shop>\n  ProxyPass ajp://shop:8009/\n</Location>", &["shop"]),
            ("<Proxy balancer://all>\n  BalancerMember http://web-1:80\n</Proxy>", &["web-1"]),
            (
                "http:\n  services:\n    shop:\n      loadBalancer:\n        servers:\n          - url: \"http://web:80\"\n",
                &["web"],
            ),
        ] {
            assert_eq!(upstreams(text), hosts, "{text}");
        }
    }

    #[test]
    fn what_is_no_upstream_is_left_out() {
        for text in [
            "# proxy_pass http://old:80;\n",
            "upstream shop {\n  # server old:80;\n}",
            "server {\n  server_name shop.example;\n}",
            "proxy_pass http://127.0.0.1:8080;",
            "server {\n  listen 80;\n}\nserver shop {\n",
            "ProxyPass /images !\n",
            "proxy_pass http://$backend;",
            "url = \"http://db/\"\n",
            "[server]\nhost = \"web\"\n",
            "",
        ] {
            assert_eq!(upstreams(text), Vec::<String>::new(), "{text}");
        }
    }
}
