package whimbrel.checker;

import java.io.Closeable;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.NavigableMap;
import java.util.TreeMap;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.LocatedFileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RemoteIterator;

/** The tree under a prefix of a bucket as Hadoop's own S3A client shows it. */
final class S3aTree implements Closeable {
  private final FileSystem client;
  private final Path root;

  /** Keys and server are those of the environment that AWS's SDK takes them from. */
  S3aTree(String url) throws IOException {
    this.root = new Path(url.replaceFirst("^s3a?:", "s3a:"));
    String endpoint = System.getenv("AWS_ENDPOINT_URL_S3");
    Configuration configuration = new Configuration();
    configuration.set("fs.s3a.endpoint", endpoint);
    configuration.set(
        "fs.s3a.endpoint.region", System.getenv().getOrDefault("AWS_REGION", "us-east-1"));
    configuration.setBoolean("fs.s3a.connection.ssl.enabled", endpoint.startsWith("https:"));
    configuration.setBoolean("fs.s3a.path.style.access", true);
    configuration.set(
        "fs.s3a.aws.credentials.provider",
        "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider");
    configuration.set("fs.s3a.access.key", System.getenv("AWS_ACCESS_KEY_ID"));
    configuration.set("fs.s3a.secret.key", System.getenv("AWS_SECRET_ACCESS_KEY"));
    this.client = FileSystem.newInstance(root.toUri(), configuration);
  }

  /** Files and directories below the root, by a listing of each directory. */
  NavigableMap<String, Tree.Entry> walk() throws IOException {
    NavigableMap<String, Tree.Entry> entries = new TreeMap<>();
    Deque<Path> left = new ArrayDeque<>();
    left.add(root);
    while (!left.isEmpty()) {
      for (FileStatus child : client.listStatus(left.remove())) {
        add(entries, child);
        if (child.isDirectory()) {
          left.add(child.getPath());
        }
      }
    }
    return entries;
  }

  /** Files below the root, by one listing without directories, as engines plan their work. */
  NavigableMap<String, Tree.Entry> files() throws IOException {
    NavigableMap<String, Tree.Entry> entries = new TreeMap<>();
    RemoteIterator<LocatedFileStatus> files = client.listFiles(root, true);
    while (files.hasNext()) {
      add(entries, files.next());
    }
    return entries;
  }

  private void add(NavigableMap<String, Tree.Entry> entries, FileStatus status) {
    String path = status.getPath().toUri().getPath();
    String name = path.substring(root.toUri().getPath().length() + 1);
    Tree.Kind kind = status.isDirectory() ? Tree.Kind.DIRECTORY : Tree.Kind.FILE;
    entries.put(name, new Tree.Entry(name, kind, status.getLen(), false, false));
  }

  @Override
  public void close() throws IOException {
    client.close();
  }
}
