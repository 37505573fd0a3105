//! Hadoop's own configuration: where the NameNodes are and how they want to be spoken to.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Error;

const DEFAULT_PORT: u16 = 8020;
const FILES: [&str; 2] = ["core-site.xml", "hdfs-site.xml"];
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
const SUBSTITUTIONS_MAX: usize = 20;

/// Properties by name, as `core-site.xml` and `hdfs-site.xml` give them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    properties: BTreeMap<String, String>,
}

/// One NameNode of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamenodeAddress {
    /// The NameNode's id within its nameservice; empty without high availability.
    pub id: String,
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// RPC port.
    pub port: u16,
    /// Host and port of its web server, where the configuration names it.
    pub http_address: Option<String>,
}

/// A cluster as one URL names it: the NameNodes of which one is active.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// The nameservice, or `host:port`.
    pub name: String,
    /// At least one; more than one is high availability.
    pub namenodes: Vec<NamenodeAddress>,
}

impl Configuration {
    /// A configuration without properties.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads `core-site.xml` and `hdfs-site.xml` of a folder; either may be missing, not both.
    ///
    /// # Errors
    /// [`Error::Configuration`] naming the file.
    pub fn read(directory: &Path) -> Result<Self, Error> {
        let mut configuration = Self::new();
        let mut found = false;
        for name in FILES {
            let path = directory.join(name);
            let told = |message: String| Error::Configuration {
                message: format!("{}: {message}", path.display()),
            };
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                    return Err(told(format!("larger than {FILE_BYTES_MAX} bytes")));
                }
                Ok(_) => found = true,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(told(error.to_string())),
            }
            let text = std::fs::read_to_string(&path).map_err(|error| told(error.to_string()))?;
            configuration.add_xml(&text).map_err(told)?;
        }
        if found {
            return Ok(configuration);
        }
        Err(Error::Configuration {
            message: format!(
                "{} holds neither core-site.xml nor hdfs-site.xml",
                directory.display()
            ),
        })
    }

    /// Adds the properties of a `<configuration>` document; a later one of the same name wins.
    ///
    /// # Errors
    /// A message when it is no XML.
    pub fn add_xml(&mut self, text: &str) -> Result<(), String> {
        let document = roxmltree::Document::parse(text).map_err(|error| error.to_string())?;
        let properties = document.root_element().children().filter(|n| n.has_tag_name("property"));
        for property in properties {
            let child = |name: &str| {
                property
                    .children()
                    .find(|node| node.has_tag_name(name))
                    .map(|node| node.text().unwrap_or("").trim().to_owned())
            };
            if let (Some(name), Some(value)) = (child("name"), child("value")) {
                self.set(&name, &value);
            }
        }
        Ok(())
    }

    /// Sets one property.
    pub fn set(&mut self, name: &str, value: &str) {
        self.properties.insert(name.to_owned(), value.to_owned());
    }

    /// A property with `${other.property}` replaced; what cannot be replaced stays as it stands.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let mut value = self.properties.get(name)?.clone();
        for _ in 0..SUBSTITUTIONS_MAX {
            let Some((start, end)) = substitution(&value) else { break };
            let Some(with) = value.get(start + 2..end).and_then(|key| self.properties.get(key))
            else {
                break;
            };
            value = format!("{}{with}{}", &value[..start], &value[end + 1..]);
        }
        Some(value)
    }

    /// The cluster that an `hdfs://` URL's authority names: `host:port`, a nameservice, or (empty)
    /// that of `fs.defaultFS`.
    ///
    /// # Errors
    /// [`Error::Configuration`] when no address can be found, [`Error::Kerberos`] when the
    /// configuration says that the cluster is secured.
    pub fn cluster(&self, authority: &str) -> Result<Cluster, Error> {
        self.refuse_kerberos()?;
        let authority = match authority {
            "" => self.default_authority()?,
            given => given.to_owned(),
        };
        let key = format!("dfs.ha.namenodes.{authority}");
        if let Some(ids) = self.get(&key) {
            let namenodes: Vec<_> =
                list(&ids).map(|id| self.namenode_of(&authority, id)).collect::<Result<_, _>>()?;
            if namenodes.is_empty() {
                return Err(Error::Configuration { message: format!("{key} is empty") });
            }
            return Ok(Cluster { name: authority, namenodes });
        }
        let property = format!("dfs.namenode.rpc-address.{authority}");
        let address = self.get(&property).unwrap_or_else(|| authority.clone());
        let (host, port) = host_and_port(&address)?;
        let http_address = self
            .get(&format!("dfs.namenode.http-address.{authority}"))
            .or_else(|| self.get("dfs.namenode.http-address"));
        let namenodes = vec![NamenodeAddress { id: String::new(), host, port, http_address }];
        Ok(Cluster { name: authority, namenodes })
    }

    /// Whether DataNodes are to be reached by host name instead of by address.
    #[must_use]
    pub fn uses_datanode_hostname(&self) -> bool {
        self.get("dfs.client.use.datanode.hostname").is_some_and(|value| value == "true")
    }

    fn refuse_kerberos(&self) -> Result<(), Error> {
        let method = self.get("hadoop.security.authentication").unwrap_or_default();
        if method.is_empty() || method.eq_ignore_ascii_case("simple") {
            return Ok(());
        }
        Err(Error::Kerberos {
            server: "the Hadoop configuration (hadoop.security.authentication)".to_owned(),
            methods: method,
        })
    }

    fn default_authority(&self) -> Result<String, Error> {
        let default =
            self.get("fs.defaultFS").or_else(|| self.get("fs.default.name")).ok_or_else(|| {
                Error::Configuration { message: "fs.defaultFS is not set".to_owned() }
            })?;
        let authority = default
            .strip_prefix("hdfs://")
            .map(|rest| rest.split('/').next().unwrap_or_default().to_owned());
        authority.filter(|name| !name.is_empty()).ok_or_else(|| Error::Configuration {
            message: format!("fs.defaultFS is {default}, which names no HDFS cluster"),
        })
    }

    fn namenode_of(&self, nameservice: &str, id: &str) -> Result<NamenodeAddress, Error> {
        let property = format!("dfs.namenode.rpc-address.{nameservice}.{id}");
        let address = self
            .get(&property)
            .ok_or_else(|| Error::Configuration { message: format!("{property} is not set") })?;
        let (host, port) = host_and_port(&address)?;
        let http_address = self.get(&format!("dfs.namenode.http-address.{nameservice}.{id}"));
        Ok(NamenodeAddress { id: id.to_owned(), host, port, http_address })
    }
}

impl NamenodeAddress {
    /// `host:port`, an IPv6 host in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The innermost `${...}` that is replaced next: positions of `$` and of `}`.
fn substitution(value: &str) -> Option<(usize, usize)> {
    let start = value.find("${")?;
    let end = start + value.get(start..)?.find('}')?;
    Some((start, end))
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

pub(crate) fn host_and_port(address: &str) -> Result<(String, u16), Error> {
    let refused = || Error::Configuration {
        message: format!("{address} is neither host:port nor a configured nameservice"),
    };
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(refused)?;
            match rest {
                "" => (host, None),
                rest => (host, Some(rest.strip_prefix(':').ok_or_else(refused)?)),
            }
        }
        None => match address.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.is_empty() || host.contains(['/', '@', ' ', '[', ']']) {
        return Err(refused());
    }
    let port = match port {
        Some(port) => port.parse().map_err(|_| refused())?,
        None => DEFAULT_PORT,
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests;
