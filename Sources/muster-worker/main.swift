import Audience
import Jobs
import Messaging

runWorker(handlers: importJobs + segmentJobs + messagingJobs, loops: sendingLoops + deliveryLoops + segmentLoops)
