import Audience
import Web

serve("segments", audienceRoutes)
