package whimbrel.testbed;

import java.io.File;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.HdfsConfiguration;

/**
 * A program of its own: makes a directory whose new files are erasure coded.
 *
 * <p>{@code SetErasureCoding CONFIGURATION_DIRECTORY PATH POLICY}
 */
public final class SetErasureCoding {
  private SetErasureCoding() {}

  public static void main(String[] arguments) throws Exception {
    Configuration configuration = new HdfsConfiguration();
    for (String name : new String[] {"core-site.xml", "hdfs-site.xml"}) {
      configuration.addResource(new Path(new File(arguments[0], name).toURI()));
    }
    Path directory = new Path(arguments[1]);
    String policy = arguments[2];
    try (FileSystem client = FileSystem.get(configuration)) {
      DistributedFileSystem hdfs = (DistributedFileSystem) client;
      hdfs.enableErasureCodingPolicy(policy);
      hdfs.mkdirs(directory);
      hdfs.setErasureCodingPolicy(directory, policy);
    }
  }
}
