use super::*;

fn catalogue() -> Catalogue {
    let text = "id = \"full\"\ntitle = \"No slots\"\ncategory = \"database\"\n\
         severity = \"critical\"\ntechnology = \"test\"\nstatus = \"reproduced\"\n\
         links = [\"https://example.org/page\"]\n\
         [applies]\nkinds = [\"postgres\", \"container\"]\nimages = [\"postgres\"]\nports = [5432]\n\
         [[signature]]\nlog = 'FATAL: no slots'\n\
         [[signature]]\nlog = 'driver: no slots'\nside = \"client\"\nat_least = 2\n\
         [diagnosis]\nsummary = \"it is\"\nbase = 50\n\
         [examples]\nmatch = [\"FATAL: no slots\", \"driver: no slots\"]\nnear_miss = [\"fine\"]";
    let (catalogue, broken) = Catalogue::load([("test/full.toml".to_owned(), text.to_owned())]);
    assert_eq!(broken, []);
    catalogue
}

fn scene(image: &str, ports: &[u16]) -> Scene {
    let facts = ContainerFacts {
        image: image.to_owned(),
        exposed_ports: ports.to_vec(),
        ..fakes::container("box")
    };
    Scene::at(10).container(facts).service("postgres:orders", "box")
}

fn found(scene: &Scene, lines: &[(i64, &str)]) -> Vec<(String, Side)> {
    let findings = ErrorDetector::default().detect(&scene.0, &logs("box", lines), &catalogue());
    let side = |finding: &Finding| match finding.source {
        FindingSource::Log { side, .. } => side,
        FindingSource::Check { .. }
        | FindingSource::Pattern { .. }
        | FindingSource::Alert { .. } => unreachable!("nothing but lines is read here"),
    };
    findings.iter().map(|finding| (finding.key.clone(), side(finding))).collect()
}

#[test]
fn a_servers_line_counts_in_an_image_or_on_a_port_that_fits() {
    let line = [(1, "FATAL: no slots")];
    let own = ("postgres:orders log full".to_owned(), Side::Server);
    assert_eq!(found(&scene("postgres:15", &[]), &line), std::slice::from_ref(&own));
    assert_eq!(found(&scene("shop/db", &[5432]), &line), [own]);
    assert_eq!(found(&scene("shop/api", &[8080]), &line), []);
}

#[test]
fn a_clients_line_is_the_clients_whatever_image_it_runs_in() {
    let lines = [(1, "driver: no slots"), (2, "driver: no slots")];
    for scene in [scene("shop/api", &[8080]), scene("postgres:15", &[5432])] {
        let said = ("container:box log full client".to_owned(), Side::Client);
        assert_eq!(found(&scene, &lines), [said]);
        assert_eq!(found(&scene, &lines[..1]), [], "one line is not enough");
    }
}

#[test]
fn both_sides_in_one_log_are_two_findings() {
    let lines = [(1, "FATAL: no slots"), (2, "driver: no slots"), (3, "driver: no slots")];
    let both = found(&scene("postgres:15", &[]), &lines);
    assert_eq!(both.len(), 2, "{both:?}");
}
