//! Lines that can be broken, between Whimbrel and the servers that it speaks to.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use whimbrel_testbed::{Fault, FaultProxy, Hadoop};

/// What DataNodes say that they are called. They listen elsewhere; the line to each listens here,
/// on the same port, since that is where a client goes that is told to go by names.
pub const DATA_NODE_HOST: &str = "127.0.0.2";

/// A line to each server.
#[derive(Debug)]
pub struct Lines {
    /// To the S3 server, alone.
    pub s3: Vec<FaultProxy>,
    /// To each NameNode.
    pub name_nodes: Vec<FaultProxy>,
    /// To each DataNode.
    pub data_nodes: Vec<FaultProxy>,
    configuration: PathBuf,
}

impl Lines {
    /// Stretches them, and writes a Hadoop configuration that leads through them.
    pub fn start(hadoop: &Hadoop, s3: SocketAddr, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let host: IpAddr = DATA_NODE_HOST.parse()?;
        let mut name_nodes = Vec::new();
        for address in hadoop.name_nodes() {
            name_nodes.push(FaultProxy::start(address.parse()?)?);
        }
        let mut data_nodes = Vec::new();
        for address in hadoop.data_nodes() {
            let address: SocketAddr = address.parse()?;
            data_nodes.push(FaultProxy::start_at((host, address.port()).into(), address)?);
        }
        let s3 = vec![FaultProxy::start(s3)?];
        let lines = Self { s3, name_nodes, data_nodes, configuration: folder.join("hadoop-conf") };
        lines.write_configuration(hadoop)?;
        Ok(lines)
    }

    /// What leads Whimbrel through them.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let endpoint = self.s3.iter().map(|line| format!("http://{}", line.address())).collect();
        vec![
            ("HADOOP_CONF_DIR", self.configuration.display().to_string()),
            ("AWS_ENDPOINT_URL_S3", endpoint),
        ]
    }

    /// Mends all of them.
    pub fn mend(&self) {
        for (_, group) in self.groups() {
            for line in group {
                line.set(Fault::None);
            }
        }
    }

    /// How often each fault took effect, by what the line leads to.
    pub fn struck(&self) -> Value {
        let mut all = Map::new();
        for (name, group) in self.groups() {
            let mut sums = Map::new();
            for (fault, times) in group.iter().flat_map(FaultProxy::struck) {
                let before = sums.get(fault).and_then(Value::as_u64).unwrap_or_default();
                sums.insert(fault.to_owned(), json!(before + times));
            }
            all.insert(name.to_owned(), Value::Object(sums));
        }
        Value::Object(all)
    }

    fn groups(&self) -> [(&'static str, &[FaultProxy]); 3] {
        [("s3", &self.s3), ("name_nodes", &self.name_nodes), ("data_nodes", &self.data_nodes)]
    }

    /// The cluster's own, with the lines' addresses in place of the NameNodes', and DataNodes
    /// reached by their names.
    fn write_configuration(&self, hadoop: &Hadoop) -> Result<(), Box<dyn Error>> {
        std::fs::create_dir(&self.configuration)?;
        for file in ["core-site.xml", "hdfs-site.xml"] {
            let mut text = std::fs::read_to_string(hadoop.configuration_directory().join(file))?;
            for (address, line) in hadoop.name_nodes().iter().zip(&self.name_nodes) {
                let led = format!(">{}<", line.address());
                text = text.replace(&format!(">{address}<"), &led);
            }
            let by_name = "<property><name>dfs.client.use.datanode.hostname</name>\
                <value>true</value></property></configuration>";
            let text = text.replace("</configuration>", by_name);
            std::fs::write(self.configuration.join(file), text)?;
        }
        Ok(())
    }
}
