import Accounts
import Web

serve("accounts", jobRoutes)
