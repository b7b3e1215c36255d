import Audience
import Jobs
import Messaging

runWorker(handlers: importJobs + segmentJobs + scoreJobs + messagingJobs, loops: sendingLoops + deliveryLoops + segmentLoops)
