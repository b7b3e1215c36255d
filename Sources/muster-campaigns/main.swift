import Messaging
import Web

serve("campaigns", sendingRoutes)
