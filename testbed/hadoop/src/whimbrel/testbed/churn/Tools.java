package whimbrel.testbed.churn;

import java.io.IOException;
import java.io.OutputStream;
import java.util.Random;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import whimbrel.testbed.Content;

/** What a worker writes with. */
final class Tools {
  private static final String[] SUFFIXES = {" with space", "%41", "+plus", "ü", "=1", "#2", "&x"};

  final DistributedFileSystem client;
  final int worker;
  /** A folder beside the one that is being changed: things leave for it and come back. */
  final Path outside;
  private final short replication;
  private long names;

  Tools(DistributedFileSystem client, short replication, Path outside, int worker) {
    this.client = client;
    this.replication = replication;
    this.outside = outside;
    this.worker = worker;
  }

  /** A name that no other worker makes, with characters that want escaping at times. */
  String name(String kind, Random random) {
    String suffix = random.nextInt(20) == 0 ? SUFFIXES[random.nextInt(SUFFIXES.length)] : "";
    return kind + "-" + worker + "-" + names++ + suffix;
  }

  static int length(Random random) {
    return random.nextInt(20) == 0 ? 0 : Content.logNormalBytes(random, 8_000, 1.3, 3 << 20);
  }

  FSDataOutputStream create(Path path) throws IOException {
    return client.create(path, true, 65536, replication, client.getDefaultBlockSize(path));
  }

  /** Creates or overwrites. */
  void write(Path path, long seed, int length) throws IOException {
    try (OutputStream out = create(path)) {
      out.write(Content.bytes(seed, length));
    }
  }

  void append(Path path, long seed, int length) throws IOException {
    try (OutputStream out = client.append(path)) {
      out.write(Content.bytes(seed, length));
    }
  }

  FileStatus status(Path path) throws IOException {
    return client.getFileStatus(path);
  }

  void setTimesAsIn(Path path, FileStatus before) throws IOException {
    client.setTimes(path, before.getModificationTime(), before.getAccessTime());
  }

  void rename(Path from, Path to) throws IOException {
    if (!client.rename(from, to)) {
      throw new IOException("rename of " + from + " to " + to + " was refused");
    }
  }
}
