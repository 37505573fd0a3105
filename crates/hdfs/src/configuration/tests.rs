use super::*;
use crate::error::ErrorKind;

fn configuration(properties: &[(&str, &str)]) -> Configuration {
    let mut configuration = Configuration::new();
    for (name, value) in properties {
        configuration.set(name, value);
    }
    configuration
}

#[test]
fn authorities_name_clusters() {
    let ha = configuration(&[
        ("fs.defaultFS", "hdfs://lake/ignored"),
        ("dfs.ha.namenodes.lake", " nn1, nn2 ,"),
        ("dfs.namenode.rpc-address.lake.nn1", "a.example:8021"),
        ("dfs.namenode.rpc-address.lake.nn2", "[fe80::1]:8022"),
        ("dfs.namenode.http-address.lake.nn1", "a.example:9870"),
        ("dfs.namenode.rpc-address.alone", "b.example:8023"),
    ]);
    let cases = [
        ("", "lake", vec!["a.example:8021", "[fe80::1]:8022"]),
        ("lake", "lake", vec!["a.example:8021", "[fe80::1]:8022"]),
        ("alone", "alone", vec!["b.example:8023"]),
        ("c.example:1", "c.example:1", vec!["c.example:1"]),
        ("c.example", "c.example", vec!["c.example:8020"]),
        ("[::1]:9000", "[::1]:9000", vec!["[::1]:9000"]),
    ];
    for (authority, name, addresses) in cases {
        let cluster = ha.cluster(authority).unwrap();
        let found: Vec<String> = cluster.namenodes.iter().map(NamenodeAddress::authority).collect();
        assert_eq!(
            (cluster.name.as_str(), found),
            (name, addresses.into_iter().map(str::to_owned).collect())
        );
    }
    let first = &ha.cluster("lake").unwrap().namenodes[0];
    assert_eq!(first.http_address.as_deref(), Some("a.example:9870"));
}

#[test]
fn what_names_no_cluster_is_refused() {
    let half = configuration(&[
        ("dfs.ha.namenodes.half", "nn1,nn2"),
        ("dfs.namenode.rpc-address.half.nn1", "a:1"),
        ("dfs.ha.namenodes.none", " , "),
    ]);
    for authority in ["", "half", "none", "a:x", "a:70000", ":1", "[::1", "[::1]9", "a b", "u@h:1"]
    {
        let error = half.cluster(authority).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{authority}: {error}");
    }
    let local = configuration(&[("fs.defaultFS", "file:///")]);
    assert!(local.cluster("").unwrap_err().to_string().contains("file:///"));
}

#[test]
fn kerberos_is_refused_by_name() {
    let secured = configuration(&[("hadoop.security.authentication", "Kerberos")]);
    let error = secured.cluster("a:1").unwrap_err();
    assert!(matches!(error, Error::Kerberos { .. }), "{error}");
    let plain = configuration(&[("hadoop.security.authentication", "simple")]);
    assert!(plain.cluster("a:1").is_ok());
}

#[test]
fn xml_and_substitution() {
    let mut read = Configuration::new();
    let text = "<?xml version='1.0'?><configuration>
        <property><name> a </name><value>1</value><final>true</final></property>
        <property><name>b</name><value>${a}2${a}</value></property>
        <property><name>loop</name><value>${loop}</value></property>
        <property><name>open</name><value>${a</value></property>
        <property><name>unknown</name><value>x${nope}</value></property>
        <property><name>empty</name><value/></property>
        <property><name>valueless</name></property>
        </configuration>";
    read.add_xml(text).unwrap();
    let get = |name: &str| read.get(name);
    assert_eq!(get("a").as_deref(), Some("1"));
    assert_eq!(get("b").as_deref(), Some("121"));
    assert_eq!(get("loop").as_deref(), Some("${loop}"));
    assert_eq!(get("open").as_deref(), Some("${a"));
    assert_eq!(get("unknown").as_deref(), Some("x${nope}"));
    assert_eq!(get("empty").as_deref(), Some(""));
    assert_eq!(get("valueless"), None);
    assert!(Configuration::new().add_xml("<configuration>").is_err());
}

#[test]
fn a_folder_without_configuration_is_refused() {
    let error = Configuration::read(Path::new("/nowhere")).unwrap_err();
    assert!(error.to_string().contains("/nowhere"), "{error}");
}

/// `::1]:8021` was taken for the host `::1]`, which nobody can connect to.
#[test]
fn a_host_that_lost_its_bracket_is_refused() {
    for address in ["::1]:8021", "[::1:8021", "a[b]:1", "[a]b]:1"] {
        assert!(host_and_port(address).is_err(), "{address}");
    }
    assert_eq!(host_and_port("[::1]:8021").ok(), Some(("::1".to_owned(), 8021)));
}
