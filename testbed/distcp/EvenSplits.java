import java.io.IOException;
import java.util.List;
import org.apache.hadoop.mapreduce.InputSplit;
import org.apache.hadoop.mapreduce.JobContext;
import org.apache.hadoop.tools.mapred.UniformSizeInputFormat;

/**
 * DistCp without YARN: where a job runs within one process, Hadoop sets its number of maps back to
 * one before the work is split. This strategy takes the number from {@code bench.maps}.
 */
public class EvenSplits extends UniformSizeInputFormat {
  @Override
  public List<InputSplit> getSplits(JobContext context) throws IOException, InterruptedException {
    int maps = context.getConfiguration().getInt("bench.maps", 1);
    context.getConfiguration().setInt("mapreduce.job.maps", maps);
    return super.getSplits(context);
  }
}
