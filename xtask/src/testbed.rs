//! `cargo xtask testbed`: the real systems, started by hand.

use std::error::Error;
use std::io::{BufRead, stdin};

use clap::{Args, Subcommand};
use serde_json::Value;
use whimbrel_testbed::{
    CreateFiles, FileSizes, Garage, GarageEngine, Hadoop, HadoopOptions, S3Mock, S3Server,
    VersityGateway, VersityOptions, install_duckdb, install_garage, install_hadoop, install_s3mock,
    install_versitygw,
};

/// The bucket that each server has from the start.
const BUCKET: &str = "whimbrel";

/// What to do with the testbed.
#[derive(Debug, Subcommand)]
pub enum Testbed {
    /// Start a Hadoop cluster and an S3 server, say how to use them, stop them on Ctrl-C or at
    /// the end of standard input. Lines of standard input are control commands to the cluster
    /// (testbed/README.md), such as {"command":"failover"}.
    Up(Up),
    /// Fetch and build everything that `up` and the tests start.
    Install {
        /// Garage too, which takes 20 minutes of CPU to build.
        #[arg(long)]
        garage: bool,
    },
}

/// What to start.
#[derive(Debug, Args)]
pub struct Up {
    /// Two NameNodes that fail over, with three journal nodes.
    #[arg(long)]
    ha: bool,
    /// S3Mock as a second S3 server.
    #[arg(long)]
    s3mock: bool,
    /// Garage as a second S3 server.
    #[arg(long)]
    garage: bool,
    /// versitygw keeps versions.
    #[arg(long)]
    versioning: bool,
    /// Files to write under /data, in one directory per twenty.
    #[arg(long, value_name = "N", default_value_t = 0)]
    files: u64,
    /// Decides the files' names, sizes and contents.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A Hadoop setting, such as dfs.namenode.accesstime.precision=0.
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,
}

/// Carries the command out.
pub fn run(command: &Testbed) -> Result<(), Box<dyn Error>> {
    match command {
        Testbed::Up(options) => up(options),
        Testbed::Install { garage } => {
            install_hadoop()?;
            install_versitygw()?;
            install_s3mock()?;
            install_duckdb()?;
            if *garage {
                install_garage()?;
            }
            println!("installed");
            Ok(())
        }
    }
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("a setting has the form KEY=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

fn up(options: &Up) -> Result<(), Box<dyn Error>> {
    eprintln!("starting; the first time takes some minutes to install");
    let gateway = VersityGateway::start_with(VersityOptions {
        versioning: options.versioning,
        ..VersityOptions::default()
    })?;
    let mut second: Vec<(&str, Box<dyn S3Server>)> = Vec::new();
    if options.s3mock {
        second.push(("S3Mock", Box::new(S3Mock::start()?)));
    }
    if options.garage {
        second.push(("Garage", Box::new(Garage::start(GarageEngine::Sqlite)?)));
    }
    let hadoop = Hadoop::start(&HadoopOptions {
        high_availability: options.ha,
        settings: options.settings.clone(),
        long_running: true,
        ..HadoopOptions::default()
    })?;
    if options.files > 0 {
        hadoop.create_files(&CreateFiles {
            directory: "/data".to_owned(),
            count: options.files,
            directories: options.files.div_ceil(20),
            sizes: FileSizes::YARDSTICK,
            seed: options.seed,
        })?;
    }
    println!("export HADOOP_CONF_DIR={}", hadoop.configuration_directory().display());
    println!("export HADOOP_USER_NAME={}", hadoop.superuser());
    gateway.create_bucket(BUCKET)?;
    print_server(&gateway, "export ");
    for (name, server) in &second {
        server.create_bucket(BUCKET)?;
        println!("# or {name}:");
        print_server(server.as_ref(), "# export ");
    }
    println!("# source: {}/data   target: s3://{BUCKET}/data", hadoop.url());
    println!("# NameNode: http://{}", hadoop.http_addresses().join(" http://"));
    println!("# log: {}", hadoop.log().display());
    println!("# Ctrl-C stops everything; a line of JSON here is a control command");
    relay_commands(&hadoop)
}

fn print_server(server: &dyn S3Server, prefix: &str) {
    for (name, value) in server.endpoint().environment() {
        println!("{prefix}{name}={value}");
    }
}

/// Passes lines on until there are no more. Ctrl-C ends the process, and with it the pipes that
/// keep the servers alive.
fn relay_commands(hadoop: &Hadoop) -> Result<(), Box<dyn Error>> {
    for line in stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = serde_json::from_str::<Value>(&line)
            .map_err(|error| error.to_string())
            .and_then(|request| hadoop.command(&request).map_err(|error| error.to_string()));
        match answer {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}
