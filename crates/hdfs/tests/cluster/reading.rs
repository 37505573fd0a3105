//! Bytes and checksums from DataNodes, of pinned block lists.

use std::path::PathBuf;

use serde_json::json;
use whimbrel_hdfs::{Client, CrcKind, Error, ErrorKind, PinnedFile};
use whimbrel_testbed::Hadoop;

use crate::{client, cluster, create, text};

#[tokio::test(flavor = "multi_thread")]
async fn composite_checksums_equal_those_of_the_java_client() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    let mut operations: Vec<_> = [1_u64, 511, 512, 513, 1_048_575, 1_048_576, 1_048_577, 5_000_000]
        .iter()
        .map(|&bytes| create(&format!("/crc/f{bytes}"), bytes, bytes))
        .collect();
    let odd = json!({"operation": "create", "path": "/crc/odd", "bytes": 100_000, "seed": 1,
                     "block_bytes": 12_800});
    operations.push(odd);
    for part in ["p0", "p1"] {
        operations.push(create(&format!("/crc/{part}"), 1_048_576, 5));
    }
    let append = json!({"operation": "append", "path": "/crc/f513", "bytes": 999, "seed": 3});
    operations.push(append);
    let concat = json!({"operation": "concat", "path": "/crc/p0", "sources": ["/crc/p1"]});
    operations.push(concat);
    hadoop.operations(&operations).unwrap();

    let page = client.list(b"/crc", b"", true).await.unwrap().unwrap();
    let mut ours = Vec::new();
    for entry in &page.entries {
        let crc = client.composite_crc(entry.pinned.as_ref().unwrap()).await.unwrap();
        assert_eq!(crc.kind, CrcKind::Crc32c);
        ours.push((String::from_utf8(entry.name.to_vec()).unwrap(), crc.value));
    }
    let java = hadoop.command(&json!({"command": "checksums", "path": "/crc"})).unwrap();
    assert_eq!(java["files"].as_object().unwrap().len(), ours.len());
    for (name, value) in ours {
        let file = &java["files"][format!("/crc/{name}")];
        assert_eq!(file["algorithm"], "COMPOSITE-CRC32C", "{name}");
        assert_eq!(file["checksum"], format!("{value:08x}"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_read_byte_for_byte_in_whole_and_in_ranges() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    for length in [0_usize, 1, 512, 70_000, 1_048_576, 3_000_001] {
        let expected = text(length, length as u64);
        let path = format!("/read/f{length}");
        hadoop.write(&path, &expected).unwrap();
        let before = client.current_transaction_id().await.unwrap();
        let pinned = pinned(&client, &path).await;
        assert_eq!(read(&client, &pinned, 0, u64::MAX).await.unwrap(), expected.as_bytes());
        let crc = client.composite_crc(&pinned).await.unwrap();
        assert_eq!(crc.value, CrcKind::Crc32c.of(expected.as_bytes()));
        for (start, end) in [
            (0, 1),
            (1, 512),
            (511, 513),
            (512, 1024),
            (65_535, 65_537),
            (69_999, 70_001),
            (1_048_575, 1_048_577),
            (1_000_000, 2_500_000),
            (2_097_152, 2_097_153),
            (3_000_000, 3_000_009),
            (5, 5),
            (7, 3),
        ] {
            let slice = expected.as_bytes().get(start..end.min(length)).unwrap_or_default();
            let ours = read(&client, &pinned, start as u64, end as u64).await.unwrap();
            assert_eq!(ours, slice, "{length}: {start}..{end}");
        }
        assert_eq!(client.current_transaction_id().await.unwrap(), before, "an edit was written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_file_is_read_after_rename_and_says_when_it_is_gone() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    let expected = text(2_000_000, 1);
    hadoop.write("/pinned/a", &expected).unwrap();
    let file = pinned(&client, "/pinned/a").await;
    let rename = json!({"operation": "rename", "path": "/pinned/a", "to": "/pinned/b"});
    hadoop.operations(&[rename, create("/pinned/a", 2_000_000, 9)]).unwrap();
    assert_eq!(read(&client, &file, 0, u64::MAX).await.unwrap(), expected.as_bytes());

    hadoop.operations(&[json!({"operation": "delete", "path": "/pinned/b"})]).unwrap();
    let started = std::time::Instant::now();
    let error = loop {
        match read(&client, &file, 0, u64::MAX).await {
            Ok(bytes) => assert_eq!(bytes, expected.as_bytes(), "old bytes or none"),
            Err(error) => break error,
        }
        assert!(started.elapsed().as_secs() < 60, "the blocks stay");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!(error.kind(), ErrorKind::SourceMoved, "{error}");
    let error = client.composite_crc(&file).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceMoved, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_file_is_gone_for_its_old_list() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    hadoop.write("/cut/a", &text(1_500_000, 1)).unwrap();
    let file = pinned(&client, "/cut/a").await;
    let cut = json!({"operation": "truncate", "path": "/cut/a", "length": 1_200_000});
    hadoop.operations(&[cut]).unwrap();
    while !client.is_file_closed(b"/cut/a").await.unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let error = read(&client, &file, 0, u64::MAX).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceMoved, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_sound_replica_is_corrupt() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    hadoop.write("/corrupt/a", &text(500_000, 1)).unwrap();
    let file = pinned(&client, "/corrupt/a").await;
    hadoop.corrupt_block("/corrupt/a").unwrap();
    let error = read(&client, &file, 0, u64::MAX).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_replica_is_left_for_a_sound_one() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    let expected = text(900_000, 4);
    hadoop.write("/damaged/a", &expected).unwrap();
    let file = pinned(&client, "/damaged/a").await;
    let replicas = replicas(&hadoop, file.blocks[0].id);
    assert_eq!(replicas.len(), 3);
    for (index, path) in replicas.iter().enumerate() {
        let sound = std::fs::read(path).unwrap();
        let mut damaged = sound.clone();
        damaged[800_000] ^= 1;
        std::fs::write(path, &damaged).unwrap();
        let bytes = read(&client, &file, 0, u64::MAX).await.unwrap();
        assert!(bytes == expected.as_bytes(), "with replica {index} damaged");
        std::fs::write(path, &sound).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn erasure_coded_files_read_like_others() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    set_erasure_coding(&hadoop, "/coded", "XOR-2-1-1024k");
    for length in [0_usize, 1, 1_048_577, 5_000_001] {
        let expected = text(length, 6);
        let path = format!("/coded/f{length}");
        hadoop.write(&path, &expected).unwrap();
        let file = pinned(&client, &path).await;
        let coding = file.erasure_coding.as_ref().unwrap();
        assert_eq!((coding.policy.as_str(), coding.data_units), ("XOR-2-1-1024k", 2));
        assert_eq!(PinnedFile::from_bytes(&file.to_bytes()).unwrap(), file);
        let crc = client.composite_crc(&file).await.unwrap();
        assert_eq!(crc.value, CrcKind::Crc32c.of(expected.as_bytes()));
        for (start, end) in [(0, 9_000_000), (1_048_575, 1_048_580), (2_097_000, 4_500_000)] {
            let slice = expected.as_bytes().get(start.min(length)..end.min(length)).unwrap();
            let ours = read(&client, &file, start as u64, end as u64).await.unwrap();
            assert!(ours == slice, "{length}: {start}..{end}");
        }
    }
    let java = hadoop.command(&json!({"command": "checksums", "path": "/coded"})).unwrap();
    let file = pinned(&client, "/coded/f5000001").await;
    let crc = client.composite_crc(&file).await.unwrap();
    let expected = &java["files"]["/coded/f5000001"]["checksum"];
    assert_eq!(*expected, format!("{:08x}", crc.value));

    // Without one of the three the checksum is computed by the others; bytes have to wait.
    hadoop.stop_data_node(0).unwrap();
    assert_eq!(client.composite_crc(&file).await.unwrap(), crc);
    match read(&client, &file, 0, u64::MAX).await {
        Ok(bytes) => assert!(bytes == text(5_000_001, 6).as_bytes(), "other bytes"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
    }
    hadoop.restart_data_node(0).unwrap();
    assert_eq!(read(&client, &file, 0, 1).await.unwrap().len(), 1);
}

pub fn set_erasure_coding(hadoop: &Hadoop, path: &str, policy: &str) {
    let class_path = whimbrel_testbed::install_hadoop().unwrap().class_path;
    let mut program = std::process::Command::new("java");
    program.args(["-cp", &class_path, "whimbrel.testbed.SetErasureCoding"]);
    program.arg(hadoop.configuration_directory()).args([path, policy]);
    let output = program.env("HADOOP_USER_NAME", hadoop.superuser()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The files in which the DataNodes of this machine keep a block.
fn replicas(hadoop: &Hadoop, block_id: u64) -> Vec<PathBuf> {
    let name = format!("blk_{block_id}");
    let mut found = Vec::new();
    let mut pending = vec![hadoop.log().parent().unwrap().to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.file_name().is_some_and(|file| file == name.as_str()) {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_list_reads_the_same() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    hadoop.write("/stored/a", "some bytes").unwrap();
    let file = pinned(&client, "/stored/a").await;
    let stored = PinnedFile::from_bytes(&file.to_bytes()).unwrap();
    assert_eq!(stored, file);
    assert_eq!(read(&client, &stored, 0, u64::MAX).await.unwrap(), b"some bytes");
}

pub async fn pinned(client: &Client, path: &str) -> PinnedFile {
    client.located_status(path.as_bytes()).await.unwrap().unwrap().pinned.unwrap()
}

pub async fn read(
    client: &Client,
    file: &PinnedFile,
    start: u64,
    end: u64,
) -> Result<Vec<u8>, Error> {
    let mut reader = client.read(file, start..end)?;
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await? {
        assert!(!piece.is_empty());
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
