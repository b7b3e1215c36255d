import Accounts
import Audience
import Jobs
import Messaging

runWorker(
    handlers: importJobs + contactJobs + fieldJobs + segmentJobs + segmentActionJobs + scoreJobs + messagingJobs,
    loops: sendingLoops + deliveryLoops + lookUpLoops + scheduleLoops + experimentLoops + stopRuleLoops + segmentLoops + alertLoops
        + exportLoops
        + webhookLoops + restoreLoops)
