import Audience
import Web

serve("segments", contactRoutes + importRoutes + segmentRoutes)
