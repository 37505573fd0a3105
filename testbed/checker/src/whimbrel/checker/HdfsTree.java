package whimbrel.checker;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.RecursiveAction;
import java.util.stream.Collectors;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.AclEntry;
import org.apache.hadoop.fs.permission.AclUtil;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.HdfsConfiguration;

/** A directory of HDFS, read by Hadoop's own client. */
final class HdfsTree implements Tree {
  private final DistributedFileSystem client;
  private final String root;
  private final Exclusions exclusions;
  private final Map<String, FileStatus> statuses = new ConcurrentHashMap<>();

  HdfsTree(String url, Exclusions exclusions) throws IOException {
    Configuration configuration = new HdfsConfiguration();
    String folder = System.getenv("HADOOP_CONF_DIR");
    if (folder != null) {
      for (String name : new String[] {"core-site.xml", "hdfs-site.xml"}) {
        configuration.addResource(new Path(new File(folder, name).getAbsolutePath()));
      }
    }
    Path path = new Path(url);
    URI uri = path.toUri();
    FileSystem system =
        uri.getAuthority() == null
            ? FileSystem.newInstance(configuration)
            : FileSystem.newInstance(uri, configuration);
    this.client = (DistributedFileSystem) system;
    this.root = uri.getPath().equals("/") ? "" : uri.getPath();
    this.exclusions = exclusions;
  }

  @Override
  public NavigableMap<String, Entry> list() throws IOException {
    NavigableMap<String, Entry> entries = new ConcurrentSkipListMap<>();
    FileStatus status = client.getFileStatus(absolute(""));
    statuses.put("", status);
    if (status.isFile()) {
      entries.put("", file("", status));
      return entries;
    }
    ForkJoinPool pool = new ForkJoinPool(8);
    try {
      pool.invoke(new Listing("", entries));
    } finally {
      pool.shutdown();
    }
    return entries;
  }

  private final class Listing extends RecursiveAction {
    private static final long serialVersionUID = 1;
    private final String directory;
    private final transient NavigableMap<String, Entry> entries;

    Listing(String directory, NavigableMap<String, Entry> entries) {
      this.directory = directory;
      this.entries = entries;
    }

    @Override
    protected void compute() {
      List<Listing> below = new ArrayList<>();
      try {
        FileStatus[] children = client.listStatus(absolute(directory));
        boolean included = false;
        for (FileStatus child : children) {
          String name = child.getPath().getName();
          String path = directory.isEmpty() ? name : directory + "/" + name;
          if (exclusions.excludes(path)) {
            continue;
          }
          included = true;
          statuses.put(path, child);
          if (child.isDirectory()) {
            below.add(new Listing(path, entries));
          } else {
            entries.put(path, file(path, child));
          }
        }
        entries.put(
            directory, new Entry(directory, Kind.DIRECTORY, 0, children.length > 0, included));
      } catch (IOException failure) {
        throw new UncheckedIOException(failure);
      }
      invokeAll(below);
    }
  }

  private Entry file(String path, FileStatus status) throws IOException {
    Kind kind = Kind.FILE;
    if (!status.isFile()) {
      kind = Kind.OTHER;
    } else if (!client.isFileClosed(absolute(path))) {
      kind = Kind.OPEN_FILE;
    }
    return new Entry(path, kind, status.getLen(), false, false);
  }

  private Path absolute(String path) {
    String text = path.isEmpty() ? root : root + "/" + path;
    return new Path(null, null, text.isEmpty() ? "/" : text);
  }

  @Override
  public Content open(Entry file) throws IOException {
    InputStream stream = client.open(absolute(file.path()));
    return new Content(stream, metadata(file.path()));
  }

  @Override
  public Metadata directoryMetadata(Entry directory) throws IOException {
    return metadata(directory.path());
  }

  private Metadata metadata(String path) throws IOException {
    FileStatus status = statuses.get(path);
    String acl = null;
    if (status.hasAcl()) {
      acl =
          AclUtil.getAclFromPermAndEntries(
                  status.getPermission(), client.getAclStatus(absolute(path)).getEntries())
              .stream()
              .map(AclEntry::toString)
              .collect(Collectors.joining(","));
    }
    return new Metadata(
        status.getOwner(),
        status.getGroup(),
        String.format("%04o", status.getPermission().toShort()),
        BigDecimal.valueOf(status.getModificationTime(), 3),
        acl == null ? null : Metadata.acl(acl));
  }
}
