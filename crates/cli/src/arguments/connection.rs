//! How both sides are reached.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArguments {
    /// Folder of core-site.xml and hdfs-site.xml [default: $HADOOP_CONF_DIR]
    #[arg(long, value_name = "DIR")]
    pub hadoop_conf: Option<PathBuf>,
    /// Where the bucket's name stands [default: path, or virtual on AWS]
    #[arg(long, value_name = "STYLE")]
    pub s3_addressing: Option<AddressingArgument>,
    /// AWS profile of the source [default: $AWS_PROFILE]
    #[arg(long, value_name = "PROFILE")]
    pub source_profile: Option<String>,
    /// Endpoint of the source [default: $AWS_ENDPOINT_URL_S3, $AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    pub source_endpoint: Option<String>,
    /// Region of the source [default: $AWS_REGION]
    #[arg(long, value_name = "REGION")]
    pub source_region: Option<String>,
    /// AWS profile of the target
    #[arg(long, value_name = "PROFILE")]
    pub target_profile: Option<String>,
    /// Endpoint of the target
    #[arg(long, value_name = "URL")]
    pub target_endpoint: Option<String>,
    /// Region of the target
    #[arg(long, value_name = "REGION")]
    pub target_region: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AddressingArgument {
    Path,
    Virtual,
}

impl AddressingArgument {
    /// As it stands on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Virtual => "virtual",
        }
    }

    /// The style that is called so.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Path, Self::Virtual].into_iter().find(|style| style.name() == name)
    }
}
